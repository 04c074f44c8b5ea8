"""The language server: editor buffers in, edits out. It never imports torch."""
