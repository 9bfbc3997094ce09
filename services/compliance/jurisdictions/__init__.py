"""What is asked for by place: a dated table of age laws, refused tags and closed territories, and how titles are classified. All of it is data.

`policy` decides by it, from what is announced here. `docs/jurisdictions.md` says how.
"""
