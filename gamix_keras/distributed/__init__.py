"""One batch on several devices: what losses and layers need to know about it, and what each backend does."""
