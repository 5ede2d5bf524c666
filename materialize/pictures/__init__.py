"""PNG pictures: sheets of images with captions, and the galleries made of them."""
