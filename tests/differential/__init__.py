"""One series of random requests, played to the mesh in every way that there is: everybody is answered alike."""
