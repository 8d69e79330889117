"""Picture file formats: one file per family of readers and writers."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""Suffixes of files that are read and written. A file is read by its content and written by its suffix."""

UNREAD = frozenset({
    ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd",
    ".svs", ".ndpi", ".scn", ".mrxs",
})  # fmt: skip
"""Suffixes of picture files that are not read."""
UNREAD_CURE = "save them as JPEG or PNG to use them"
