"""What runs a target: this machine, or Wine for Windows."""
