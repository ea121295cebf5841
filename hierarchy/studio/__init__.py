"""The studio: a page on which anybody chooses a style, presses once and listens.

The page is a few files of plain HTML, CSS and JavaScript in `page/`, served by
Starlette. Two other ways were weighed:

* Gradio draws forms without a script, but what this page is about is a waveform that
  knows sections, a list of sections to drag, "again" and undo beside each of them and
  sound before the song is done. Its audio player knows no regions, so all of that
  would be a script of ours inside a page of theirs; and it brings 26 packages, pandas
  and a model hub's client among them, where Starlette and Uvicorn bring three.
* wavesurfer.js draws a waveform with regions, from sound that the browser decodes. We
  have the samples: a worker sends some hundred peaks, and drawing these in the colours
  of their sections takes fewer lines than wrapping a library that would have to be
  kept up to date here.

FastAPI would add to Starlette what one pydantic model does here.

    server.py    routes: a request to an answer, nothing more
    guards.py    who may ask: host, origin, size
    visitors.py  one visitor's songs and styles; nobody sees another's
    lanes.py     one job after another, each in a process that may be stopped
    worker.py    that process: reads jobs, tells how far they are
    songs.py     a wish to a song, its first section first; another take of a section
    albums.py    what a visitor uploads, looked at with suspicion
    learning.py  an album to a style
    wishes.py    what may be asked
"""
