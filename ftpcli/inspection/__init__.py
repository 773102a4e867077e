"""What is in a poses file."""
