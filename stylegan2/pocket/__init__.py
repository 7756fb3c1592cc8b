"""The rendered stand-in world: a renderer of faces, networks that know it, and the studies made with them."""
