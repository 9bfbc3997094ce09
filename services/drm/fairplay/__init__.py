"""FairPlay Streaming: reads what an Apple device sends (an SPC) and answers with a content key that only it can open (a CKC).

A Key Security Module of our own for SPCs of version 1, and another that forwards to Apple's. Apple's files, its certificates and its D
function are the operator's to bring; nothing of them is here.
"""
