"""The tunes that gate: no constant of the analyser may be changed because of one of them.

Whoever tunes after a look at one of these notes must move the tune to `tunes.TUNING_TUNES` and type another one here.
Looked at only as figures of whole conditions, never note by note: the first twelve since November 2026, the others
since 29 November 2026, when they were typed before anything was measured on them.
"""

from services.composer.engine.music import Mode
from tests.composer.tunes import Tune

FROZEN_TUNES: tuple[Tune, ...] = (
    Tune(
        "silent night", Mode.MAJOR, 3, 0,
        "5. 6_ 5 | 3-- | 5. 6_ 5 | 3-- | 2'- 2' | 7-- | 1'- 1' | 5-- | 6- 6 | 1'. 7_ 6 | 5. 6_ 5 | 3--",
    ),
    Tune(
        "when the saints", Mode.MAJOR, 4, 3,
        "1 3 4 | 5--- | 0 1 3 4 | 5--- | 0 1 3 4 | 5- 3- | 1- 3- | 2--- | 0 3 3 2 | 1-- 1 | 3- 5 5 | 5- 4- | 0 0 3 4 "
        "| 5- 3- | 1- 2- | 1---",
    ),
    Tune(
        "brahms lullaby", Mode.MAJOR, 3, 1,
        "3_ 3_ | 5. 3_ 3 | 5- 3_ 5_ | 1' 7. 6_ | 6 5 2_ 3_ | 4 2 2_ 3_ | 4- 2_ 4_ | 7_ 6_ 5 7 | 1'-",
    ),
    Tune(
        "jingle bells", Mode.MAJOR, 4, 0,
        "3 3 3- | 3 3 3- | 3 5 1. 2_ | 3--- | 4 4 4. 4_ | 4 3 3 3_ 3_ | 3 2 2 3 | 2- 5- | 3 3 3- | 3 3 3- | 3 5 1. 2_ "
        "| 3--- | 4 4 4. 4_ | 4 3 3 3_ 3_ | 5 5 4 2 | 1---",
    ),
    Tune(
        "oh susanna", Mode.MAJOR, 4, 1,
        "1_ 2_ | 3 5 5. 6_ | 5 3 1. 2_ | 3 3 2 1 | 2-- 1_ 2_ | 3 5 5. 6_ | 5 3 1. 2_ | 3 3 2 2 | 1--",
    ),
    Tune(
        "long long ago", Mode.MAJOR, 4, 0,
        "1 1_ 2_ 3 3_ 4_ | 5 6_ 5_ 3- | 5 4_ 3_ 2- | 4 3_ 2_ 1- | 1 1_ 2_ 3 3_ 4_ | 5 6_ 5_ 3- "
        "| 5 4_ 3_ 2 3_ 2_ | 1---",
    ),
    Tune(
        "london bridge", Mode.MAJOR, 4, 0,
        "5. 6_ 5 4 | 3 4 5- | 2 3 4- | 3 4 5- | 5. 6_ 5 4 | 3 4 5- | 2- 5- | 3 1--",
    ),
    Tune(
        "korobeiniki", Mode.MINOR, 4, 0,
        "3' 7_ 1'_ 2' 1'_ 7_ | 6 6_ 1'_ 3' 2'_ 1'_ | 7. 1'_ 2' 3' | 1' 6 6- | 0_ 2' 4'_ 6' 5'_ 4'_ "
        "| 3'. 1'_ 3' 2'_ 1'_ | 7 7_ 1'_ 2' 3' | 1' 6 6-",
    ),
    Tune(
        "home on the range", Mode.MAJOR, 3, 1,
        "5, | 5, 1 2 | 3- 1_ 7,_ | 6, 4 4 | 4- 4_ 4_ | 5 1. 1_ | 1 7, 1 | 2-- | 2- 5, | 5, 1 2 | 3- 1_ 7,_ | 6, 4 4 "
        "| 4- 4_ 4_ | 3. 2_ 1 | 7,. 1_ 2 | 1--",
    ),
    Tune(
        "god rest ye merry", Mode.MINOR, 4, 1,
        "6, | 6, 3 3 2 | 1 7, 6, 5, | 6, 7, 1 2 | 3-- 6, | 6, 3 3 2 | 1 7, 6, 5, | 6, 7, 1 2 | 3-- 3 | 4 2 3 4 "
        "| 5 6 3 2 | 1 6, 7, 1 | 2-- 1_ 2_ | 3- 4 3 | 3 2 1 7, | 6,--",
    ),
    Tune(
        "my bonnie", Mode.MAJOR, 3, 1,
        "5, | 3 2 1 | 2 1 6, | 5, 3,- | 3,- 5, | 3 2 1 | 1 7, 1 | 2-- | 2- 5, | 3 2 1 | 2 1 6, | 5, 3,- | 3,- 5, "
        "| 6, 2 1 | 7, 6, 7, | 1--",
    ),
    Tune(
        "kangding love song", Mode.MINOR, 4, 0,
        "3 5 6 6_ 5_ | 6. 3_ 2- | 3 5 6 6_ 5_ | 6. 3_ 3- | 3 5 6 6_ 5_ | 6. 3_ 2- | 5_ 3_ 2_ 3_ 2 1_ 2_ | 6,---",
    ),
    Tune(
        "song bie", Mode.MAJOR, 4, 0, notation=
        "5 3_ 5_ 1'- | 6 1' 5- | 5 1_ 2_ 3 2_ 1_ | 2--- | 5 3_ 5_ 1'. 7_ | 6 1' 5- | 5 2_ 3_ 4. 7,_ "
        "| 1---",
    ),
    Tune(
        "jolly good fellow", Mode.MAJOR, 2, 1 / 3, feel="six", notation=
        "1_ | 3 3_ 3 2_ | 3. 4 3_ | 2 2_ 2 1_ | 2. 3 1_ | 3 3_ 3 2_ | 3. 4 6_ | 5 5_ 4 2_ | 1-",
    ),
    Tune(
        "mulberry bush", Mode.MAJOR, 2, 0, feel="six", notation=
        "1 1_ 1 1_ | 1 3_ 5 5_ | 3 1_ 1. | 2 2_ 2 2_ | 2. 7, 6,_ | 5,. 5,. | 1 1_ 1 1_ | 1 3_ 5 5_ "
        "| 3 1_ 1 1_ | 2 2_ 5, 5,_ | 1. 1.",
    ),
    Tune(
        "irish washerwoman", Mode.MAJOR, 2, 2 / 3, feel="six", notation=
        "5_ 4_ | 3_ 1_ 1_ 5,_ 1_ 1_ | 3_ 1_ 3_ 5_ 4_ 3_ | 4_ 2_ 2_ 6,_ 2_ 2_ | 4_ 2_ 4_ 6_ 5_ 4_ "
        "| 3_ 1_ 1_ 5,_ 1_ 1_ | 3_ 1_ 3_ 5_ 4_ 3_ | 4_ 3_ 4_ 5_ 4_ 2_ | 3_ 1_ 1",
    ),
    Tune(
        "house of the rising sun", Mode.MINOR, 2, 1 / 3, feel="six", notation=
        "6,_ | 6,. 7, 1_ | 3. 2 6,_ | 6 6_ 5 3_ | 3. 0 6_ | 6. 5 3_ | 2. 1 6,_ | 6, 1_ 7, #5,_ | 6,. 6,",
    ),
    Tune(
        "man jiang hong", Mode.MINOR, 4, 0, notation=
        "6 6_ 1'_ 6 5 | 3- 5 6 | 1'. 2'_ 3' 2'_ 1'_ | 6--- | 3' 2'_ 3'_ 1' 6 | 5. 6_ 3- "
        "| 2 3_ 5_ 6 1'_ 6_ | 5 3_ 5_ 6-",
    ),
    Tune(
        "skip to my lou", Mode.MAJOR, 2, 0, notation=
        "3_ 3_ 1_ 1_ | 3_ 3_ 5 | 2_ 2_ 7,_ 7,_ | 2_ 2_ 4 | 3_ 3_ 1_ 1_ | 3_ 3_ 5 | 2_ 3_ 4_ 2_ | 1 1",
    ),
    Tune(
        "sur le pont d'avignon", Mode.MAJOR, 2, 0, notation=
        "1_ 1_ 1 | 2_ 2_ 2 | 3_ 4_ 5_ 1_ | 7,_ 1_ 2_ 5,_ | 1_ 1_ 1 | 2_ 2_ 2 | 3_ 4_ 5_ 1_ | 2_ 7,_ 1",
    ),
    Tune(
        "down by the riverside", Mode.MAJOR, 4, 1, feel="swing", notation=
        "5,_ 1_ | 3 3 3_ 1. | 5-- 3_ 5_ | 6 6_ 5_ 3_ 1. | 2-- 5,_ 1_ | 3 3 3_ 1. | 5_ 5. 3_ 5_ 6_ 5_ "
        "| 3_ 5_ 3 2_ 2. | 1--",
    ),
    Tune(
        "frankie and johnny", Mode.MAJOR, 4, 1, feel="swing", notation=
        "1_ 2_ | 3_ 5. 6_ 5. | 3-- 1_ 2_ | 3_ 3_ 5_ 3_ 6_ 5_ 3 | 1-- 1_ 1_ | 4_ 4_ 6 6_ 1'_ 6 "
        "| 5_ 6_ 5_ 3_ 1- | 2_ 2_ 2_ 3_ 2_ 1. | 1--",
    ),
    Tune(
        "volga boatmen", Mode.MINOR, 4, 0, notation=
        "3 1 2 6, | 6,--- | 3 1 2 6, | 6,-- 3_ 5_ | 3 6 3_ 2_ 1_ 2_ | 3 1 2 6, | 3 1 2_ 7,. | 6,---",
    ),
    Tune(
        "scotland the brave", Mode.MAJOR, 4, 0, notation=
        "1 1_. 2= 3_. 1= 3_. 5= | 1' 1'_. 7= 1' 5t 4t 3t | 4 6t 5t 4t 3 5t 3t 1t | 2 2_. 3= 2 3t 2t 1t "
        "| 1 1_. 2= 3_. 1= 3_. 5= | 1' 1'_. 7= 1' 5t 4t 3t | 4 6t 5t 4t 3 5t 3t 1t | 2 3_. 2= 1-",
    ),
    Tune(
        "la paloma", Mode.MAJOR, 2, 0.5, notation=
        "5,_ | 3 3t 4t 3t | 2_. 3= 2 | 7, 2t 3t 2t | 1- | 1 1t 2t 3t | 5_. 4= 4 | 2 2t 3t 4t | 3- "
        "| 5 5t 6t 5t | 4_. 5= 4 | 2 7,t 1t 2t | 1 1_",
    ),
    Tune(
        "go down moses", Mode.MINOR, 4, 1, notation=
        "3, | 1_ 1_ #5,_ #5,_ 6,- | 6,-- 3, | 7, 7,_ #5,_ 6,- | 6,-- 3, | 1_ 1_ #5,_ #5,_ 6,- "
        "| 2 2 3_ 2. | 1_ 1. 7, 7, | 6,--",
    ),
    Tune(
        "su wu mu yang", Mode.MAJOR, 4, 0, notation=
        "1 1 2 3 | 5 6_ 5_ 3- | 2 3_ 5_ 3_ 2_ 1 | 2--- | 5 6_ 1'_ 5 3 | 2 3_ 2_ 1 6, | 5, 6,_ 1_ 2 3_ 2_ "
        "| 1---",
    ),
    Tune(
        "lan hua hua", Mode.MINOR, 2, 0, notation=
        "6 3' | 2'_ 3'_ 2'_ 1'_ | 6 6_ 5_ | 3- | 5 6_ 1'_ | 2'_ 1'_ 6 | 5_ 6_ 3_ 5_ | 6- | 6 3' "
        "| 2'_ 3'_ 2'_ 1'_ | 6_ 5_ 3_ 5_ | 6-",
    ),
    Tune(
        "la cucaracha", Mode.MAJOR, 4, 1.5, notation=
        "5,_ 5,_ 5,_ | 1. 3_ 0_ 5,_ 5,_ 5,_ | 1. 3- 0_ | 1 1_ 7,_ 7,_ 6,_ 6,_ 5,_ | 5,-- 5,_ 5,_ "
        "| 5,_ 7,. 2_ 5,_ 5,_ 5,_ | 7,. 2- 0_ | 5_ 6_ 5_ 4_ 3_ 2_ 3_ 2_ | 1- 0_",
    ),
)  # fmt: skip
