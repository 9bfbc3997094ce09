"""The decision: may this viewer have this, now, here? One engine for playbacks, manifests, licences, previews and downloads.

`facts` is what may be looked at, `rules` what an organisation asks for, `engine` puts the two together; none of them does input or
output. `store` keeps terms, rules and decisions, `gathering` finds the facts.
"""
