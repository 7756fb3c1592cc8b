"""The course's panels, a module each: plain functions `render_...` from settings to a picture, and controls for them.

`stylegan2.panels.widgets` has what they are made of.
"""
