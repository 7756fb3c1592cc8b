"""The rendered stand-in world: a renderer of faces, networks that know it, and the studies made with them.

With it come the rendered sets as sources of images: whatever imports any part of it can name "pocket:webtoon".
"""

import stylegan2.pocket.source  # noqa: F401  (registers itself)
