"""Words that are sung for the table of scores, written for it; the engine was tuned on none of them but the first."""

TUNED_ON = """[verse]
海边的夏天风很大
你来看我写的名字
沙子在脚下慢慢走
我们把昨天放在这里
[chorus]
请你记得今晚的月光
请你记得我的歌
潮水回家的时候
我还在等你说话
"""

FROZEN_ZH = (
    """[verse]
清早的街口有人卖花
自行车穿过薄薄的雾
妈妈的围巾还是旧颜色
面包店的灯刚刚点亮
[chorus]
慢一点吧 慢一点走
让我再看一看这座城
等到秋天叶子落满地
我会写信告诉你
""",
    """[verse]
山上的老树开了新枝
河水绕过三间土房
爷爷坐在门前听收音机
一只黄狗睡在他身旁
[chorus]
谁在远处吹着竹笛
吹得云也不肯离开
谁把故乡装进口袋
带到很远的地方来
[bridge]
如果有一天我忘记了路
请让风带我回家
""",
    """地铁里的人都低着头
手机的光照着他们的脸
我想起去年冬天的雪
和你说过的那一句话

没关系 天总会亮
没关系 路还很长
把眼泪留在昨天晚上
明天再唱一首新的歌
""",
)

FROZEN_EN = (
    """[verse]
I left my jacket on the back of your chair
The window was open to the cold night air
There were trains in the distance and rain on the road
And a letter I wrote you that I never showed
[chorus]
Hold on to the morning, hold on to the light
We can talk in the kitchen till the end of the night
""",
    """[verse]
My grandfather built us a boat out of pine
He painted it yellow and said it was mine
[chorus]
Sail away, little yellow, over the bay
Carry my worries and stories away
""",
)
