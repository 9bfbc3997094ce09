"""The gate's keeper: looks through every master before anything is made of it, holds what must not come in, and shows it to reviewers.

It owns screenings, holds with their encrypted evidence, and the lists of hashes that masters are compared with.
"""
