"""Plans a run over many files, remembers what is done, and publishes results safely.

`walk` finds files, `plan` decides before any work, `run` drives a worker, `stage` is the worker's last step,
`publish` names results, `journal` remembers them, `places` says where things lie, `fsops` alone writes into the
output tree.
"""
