"""What people look at: overlays, tables on the terminal."""
