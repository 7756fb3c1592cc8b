"""From web pages and photos to face pictures: crawl, find faces, align, crop."""
