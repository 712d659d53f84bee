"""A picture: where the landmarks are, and a copy with them drawn.

python examples/image.py photo.jpg
"""

import sys

from lmdeploy import Landmarker, draw_faces, read_image, write_image


def main(source: str = "photo.jpg", drawn: str = "landmarks.jpg") -> None:
    """Print each face's box and nose, and draw all points."""
    image = read_image(source)  # u8[H,W,3], RGB
    with Landmarker.load("face68") as landmarker:
        faces = landmarker.predict(image)
        schema = landmarker.spec.landmarks  # names, flip pairs and skeleton of the 68 points
    for face in faces:
        x, y = face.points[30]  # tip of the nose, image px
        print(f"{face.box.width:.0f} px wide, nose at ({x:.1f}, {y:.1f}), mean score {face.score.mean():.2f}")
    write_image(drawn, draw_faces(image, faces, schema))  # draws into `image` itself


if __name__ == "__main__":
    main(*sys.argv[1:])
