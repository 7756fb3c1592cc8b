"""What others published, fetched once and checked: models, data sets, CLIP, LPIPS, Inception, DINO."""
