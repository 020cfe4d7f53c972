"""The demo city: generated deliveries of five departments with faults at known places, and the score of what quality found.

In: a seed, a number of people, a month. Out: source files and, apart from them, an answer key. Start reading in `city.py`, then
`population.py` and `firms.py` (who there is), `departments.py` (what each department holds of them), `kinds.py` (which faults, where, and by
which rules they are found), `faults.py` (putting them in), `score.py` and `detected.py` (holding quarantine and findings against the key).
"""
