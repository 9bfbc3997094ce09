"""Who may watch what, and why. Whoever sells, gives or takes back does it through `granting`, which keeps and announces."""
