"""Every error that imganalysis raises on purpose.

Each is also a builtin error, so that code which knows nothing of this package can
catch it, and each says who can mend it::

    ImganalysisError
    ├── SettingsError (ValueError)         the caller: an option or a settings file
    ├── PanelError (ValueError)            the caller: a panel file
    │   └── SpectralClashError             two dyes on one section that no filter separates
    ├── StudyError (ValueError)            the caller: a study folder, its manifest or results
    ├── GatesError (ValueError)            the caller: a gates file
    ├── CalibrationError (ValueError)      the caller: controls that calibrate, or their file
    ├── LabelsError (ValueError)           the caller: a label image
    ├── AnnotationsError (ValueError)      the caller: a file of outlines
    ├── CorrectionsError (ValueError)      the caller: an edit, or a log of corrections
    ├── TableError (ValueError)            the caller: a table
    ├── ModelError (ValueError)            the caller: a file of network weights
    ├── ImageError (ValueError)            the file: an image that cannot be analysed
    │   ├── UnreadableImageError (OSError) damaged, empty, or not an image
    │   ├── NotAFieldError                 no field of view in X and Y
    │   ├── QualitativeImageError          RGB: colours, not intensities
    │   ├── PixelSizeError                 unknown, or no microscope's
    │   ├── ChannelError (LookupError)     a channel of the panel is not in the file
    │   └── PixelDataError                 black, NaN, or too small
    ├── StoppedError (RuntimeError)        nobody: the caller asked to stop
    ├── OutputError (OSError)              the machine: a result that cannot be written
    └── MissingLibraryError (ImportError)  the machine: an optional library

``reason`` is the fixed word that stands for the error in result tables.
"""

from __future__ import annotations


class ImganalysisError(Exception):
    """Base of all errors of this package."""

    reason = "error"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type, tuple[str], dict[str, str]]:
        # Errors cross process borders: keep the reason.
        return (type(self), (self.message,), {"reason": self.reason})


class SettingsError(ImganalysisError, ValueError):
    """An option or a settings file asks for something impossible. The caller can mend it."""

    reason = "settings"


class PanelError(ImganalysisError, ValueError):
    """A panel file is wrong. The caller can mend it."""

    reason = "panel"


class SpectralClashError(PanelError):
    """Two dyes of one panel cannot be told apart. The caller can mend it, at the bench."""

    reason = "spectral_clash"


class StudyError(ImganalysisError, ValueError):
    """A study folder, its manifest, or a folder of results is wrong. The caller can mend it."""

    reason = "study"


class GatesError(ImganalysisError, ValueError):
    """A gates file is wrong, or does not fit the study. The caller can mend it."""

    reason = "gates"


class CalibrationError(ImganalysisError, ValueError):
    """Controls cannot calibrate, or a calibration file is wrong. The caller can mend it."""

    reason = "calibration"


class LabelsError(ImganalysisError, ValueError):
    """A label image is no label image, or does not fit its field. The caller can mend it."""

    reason = "labels"


class AnnotationsError(ImganalysisError, ValueError):
    """A file of outlines is damaged, or does not fit its field. The caller can mend it."""

    reason = "annotations"


class CorrectionsError(ImganalysisError, ValueError):
    """An edit that fits no field, or a log that is damaged or foreign. The caller can mend it."""

    reason = "corrections"


class TableError(ImganalysisError, ValueError):
    """A table lacks a column or holds values of a wrong type. The caller can mend it."""

    reason = "table"


class ModelError(ImganalysisError, ValueError):
    """A file of network weights is foreign, damaged, or holds code. The caller can mend it."""

    reason = "model"


class ImageError(ImganalysisError, ValueError):
    """An image cannot be analysed. The file is at fault."""

    reason = "image"


class UnreadableImageError(ImageError, OSError):
    """A file is damaged, empty, or not an image. The file is at fault."""

    reason = "unreadable"


class NotAFieldError(ImageError):
    """A series is no field of view in X and Y. Nobody is at fault; it is listed and left out."""

    reason = "not_a_field"


class QualitativeImageError(ImageError):
    """An RGB image shows colours, not intensities. The file is at fault."""

    reason = "qualitative_rgb"


class PixelSizeError(ImageError):
    """The pixel size is unknown, or is no microscope's. The file is at fault."""

    reason = "no_pixel_size"


class ChannelError(ImageError, LookupError):
    """A channel that the panel names is not in the file. The file or the panel is at fault."""

    reason = "missing_channel"


class PixelDataError(ImageError):
    """The pixels cannot be measured: black, NaN, or too few. The file is at fault."""

    reason = "pixel_data"


class StoppedError(ImganalysisError, RuntimeError):
    """The caller asked to stop, and what was begun is undone. Nothing to mend."""

    reason = "stopped"


class OutputError(ImganalysisError, OSError):
    """A result cannot be written. The machine, or the caller's choice of folder, is at fault."""

    reason = "output"


class MissingLibraryError(ImganalysisError, ImportError):
    """An optional library is not installed. The message holds the install line."""

    reason = "missing_library"
