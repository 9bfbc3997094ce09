"""Messages to people, by e-mail and SMS: the texts, the providers that carry them, and which message was taken already.

Owns deliveries. It keeps neither addresses nor what a message says.
"""
