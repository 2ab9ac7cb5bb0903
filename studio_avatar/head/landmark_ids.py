"""MediaPipe's face mesh topology by landmark number; right and left are the person's."""

# Points of the face's surface. MediaPipe finds ten more, five of each iris, which no part of the head answers to.
NUM_SURFACE_LANDMARKS = 468

FOREHEAD, CHIN = 10, 152  # the ends of what this project calls the height of a face in the picture
# The loop along forehead, temples, jaw and chin.
FACE_OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
             152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]  # fmt: skip
LIPS_OUTER = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
UPPER_LIP_INNER = [191, 80, 81, 82, 13, 312, 311, 310, 415]
LOWER_LIP_INNER = [95, 88, 178, 87, 14, 317, 402, 318, 324]
RIGHT_EYE = [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246]
LEFT_EYE = [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466]
RIGHT_BROW = [46, 53, 52, 65, 55, 107, 66, 105, 63, 70]
LEFT_BROW = [276, 283, 282, 295, 285, 336, 296, 334, 293, 300]
# The ring of landmarks around the lids.
RIGHT_LID_RING = [130, 25, 110, 24, 23, 22, 26, 112, 243, 190, 56, 28, 27, 29, 30, 247]
LEFT_LID_RING = [359, 255, 339, 254, 253, 252, 256, 341, 463, 414, 286, 258, 257, 259, 260, 467]
