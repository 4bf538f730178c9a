"""What `credits` does only where other modules are enabled too."""
