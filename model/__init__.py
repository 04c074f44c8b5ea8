"""The engine: token ids in, token ids out. It knows no text positions, no URIs, no editors."""
