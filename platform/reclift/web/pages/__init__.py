"""The HTML side: what product managers and analysts look at."""
