"""Macro time: what happens when in a song.

Knows arrays and music, and no files of sound.
"""
