"""The five-stage scorecard (采·存·管·研·用): 0 to 100 points a stage, computed from recorded facts, every point with the facts behind it.

`rules` is the table of what gives points and why, `standing` how each table stood at an instant, `score` puts both together. Nothing is stored: a
past instant is scored from what was recorded until then.
"""
