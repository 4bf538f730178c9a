"""What `accounting` does only where other modules are enabled too."""
