"""What both the language server and the engine know of code: languages, trees, brackets, spans. No torch."""
