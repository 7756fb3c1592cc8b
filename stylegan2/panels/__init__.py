"""The course's panels, a module each: plain functions `render_...` from settings to a picture, and controls for them.

`panel.py` has what they share, `controls.py` their sliders and choices.
"""
