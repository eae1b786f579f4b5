"""One batch on several devices: what losses and layers ask of it, and what each backend does for it."""
