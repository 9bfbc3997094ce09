"""Records of everybody who is seen in a title (18 U.S.C. 2257, 28 CFR part 75), and what follows from them for playback."""
