"""The rhyme classes of Chinese line endings: the four of the thirteen 辙 that the tables use, character by character.

A character is listed with the reading it has at the ends of our lines. The table is ours to keep small; tests compare
it with a pronunciation dictionary.
"""

from __future__ import annotations

CLASSES: tuple[str, ...] = ("江阳", "言前", "遥条", "中东")
"""The classes in use: endings in ang, in an, in ao, and in eng, ing or ong."""

_ENDINGS = {
    "江阳": (
        "上乡亮伤像光凉双响唱嚷场堂塘墙央尝岗常张强忘忙想慌掌放方旁望样桩樯汤洋浪烫状眶窗章糖网脏膀膛藏裳讲躺逛长阳香"
    ),
    "言前": (
        "伞前劝叹员咸咽园圆圈垫天安完尖山岸干年弦弯念愿慢懒扁换散断晚暖暗杆板檐歉段泉淡满"
        "滩点烦片玩现班甜田盏看眼禅窜站管线联脸船蛋见谈转软边远遍钱闲间难面餐饭黏"
    ),
    "遥条": ("刀到包号吵套好寥小少巧恼找抛抱掉摇敲早条桃桥梢浇漂烤牢猫瞧票秒笑箫绕缴老脚腰草角讨跑跳道闹飘高鸟"),
    "中东": (
        "中停兴冰冷动听城声容层庭弄影懂拢明星景晴朋松梦浓清灯生用疯疼盛睛程空笼等红羹胧能葱蒙藤行蹬轻迎送醒重钟静风"
    ),
}

RHYMES: dict[str, str] = {each: name for name, listed in _ENDINGS.items() for each in listed}
"""The class of each character that ends a couplet."""
