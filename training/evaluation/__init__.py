"""Quality of a checkpoint: cases in, rates with intervals out."""
