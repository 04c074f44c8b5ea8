"""The console script. It belongs to none of the three parts, imports each of them lazily, and is imported by none."""
