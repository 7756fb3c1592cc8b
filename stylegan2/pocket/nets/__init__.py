"""Small networks trained on rendered faces: judge, CLIP, encoder, face detector."""
