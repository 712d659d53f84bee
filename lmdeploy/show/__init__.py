"""Results on the screen while they are made: in a window where OpenCV has one, else in the browser.

The browser's view is a page that this process serves, to this machine alone, with the standard library's HTTP server:
three routes need no framework, and so `predict --show` works wherever the runtime does. Pictures are drawn and encoded
when a viewer asks for them, in that viewer's thread, and it always gets the newest one: neither a slow viewer nor none
at all holds up what is shown.
"""
