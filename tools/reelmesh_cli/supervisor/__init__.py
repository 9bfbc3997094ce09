"""Keeps every process of the mesh running on one machine.

Three small processes of its own: the *guardian* (`__main__`) outlives the supervisor just long enough to
end whatever it leaves behind; the *supervisor* (`mesh`) decides; the *zygote* (`zygote`) has imported the
heavy libraries once and forks each process of the mesh, so that starting one costs milliseconds.
"""
