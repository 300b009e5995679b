"""What a result says about itself, and how anyone can check it."""
