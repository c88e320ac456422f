"""Owns restoring reels: what is restored into what, by how many, what is already done, and what is proved of it.

source    a video, or one sequence of a folder; work: all that decides a result; work_file: as plain values
becoming sidecar beside    frames as a video; what pictures of a video have lost, in a file; what else goes beside
state     the folder beside the result: the plan, segments, the ledger, and a receipt for whatever is finished
segment   one job: frames in, frames of a folder or a segment of a video out, read back and compared
child pool    the processes that work; run: the driver, which alone gives results their names
again     a segment of which repairs were taken back, from the ledger
detect bench masks    what is found: written for people, or counted
verify undo review    afterwards: proof, taking back, and pictures for people
"""
