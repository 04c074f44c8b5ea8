"""A team's own repository to an adapter: what may be read, examples of it, LoRA over the base, a package."""
