"""What Weft does in a second, against what the same machine could do at best in that second."""
