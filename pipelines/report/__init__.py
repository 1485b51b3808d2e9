"""A scan's images as one page that people look at: everything in one HTML file, without a server or a network.

slices    what an image file holds, slice by slice
pictures  pixels as pictures for a page
page      the page
page.html its template
"""
