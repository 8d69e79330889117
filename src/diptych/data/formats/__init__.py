"""Picture file formats: one file per family of readers and writers."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""Of the files that are read and written. The content decides how a file is read, the suffix how it is written."""

UNREAD = frozenset({
    ".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd",
    ".svs", ".ndpi", ".scn", ".mrxs",
})  # fmt: skip
"""Of picture files that are not read."""
UNREAD_CURE = "save them as JPEG or PNG to use them"
