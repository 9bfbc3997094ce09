"""CPIX 2.3 (DASH-IF "Content Protection Information Exchange Format"), read and written, and SPEKE v2, its profile for encryptors.

`markup` lets in XML that holds no surprises, `schema` judges its shape, `reading` and `writing` turn it into a `document.Document` and back,
`delivery` encrypts keys to recipients and opens them, `signatures` signs and verifies. `contract`, `signalling` and `answering` are SPEKE's.
Nothing here has a database or a network.
"""
