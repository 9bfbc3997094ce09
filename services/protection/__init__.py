"""Protection: tells from a leaked copy whose it is, and shows the proof.

Owns detections and what is known of marked titles and of who watched them. Knows nothing of money or of what people may see.
"""
