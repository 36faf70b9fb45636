"""Give people somewhere to begin: templates in both languages, and room for banners."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_LOCALES = "('zh-CN', 'en')"
_TEMPLATES = (
    ("zh-CN", "海边的夏天", "和朋友在海边度过的夏天", "folk", "happy"),
    ("zh-CN", "写给妈妈", "小时候妈妈牵着我走过的路", "ballad", "nostalgic"),
    ("zh-CN", "月下独酌", "月亮、酒和一个人的影子", "guofeng", "calm"),
    ("zh-CN", "下班以后", "下班路上城市的灯一盏盏亮起", "lofi", "calm"),
    ("zh-CN", "生日快乐", "给好朋友的生日祝福", "pop", "happy"),
    ("zh-CN", "小猫咪", "一只爱睡觉的小猫咪", "children", "happy"),
    ("en", "Summer by the sea", "a summer by the sea with old friends", "folk", "happy"),
    ("en", "For my mother", "the road my mother walked me along", "ballad", "nostalgic"),
    ("en", "Night train", "lights that pass the window of a night train", "jazz", "calm"),
    ("en", "After work", "a city that lights up on the way home", "lofi", "calm"),
    ("en", "Happy birthday", "a birthday wish for my best friend", "pop", "happy"),
    ("en", "Sleepy cat", "a cat that sleeps all day", "children", "happy"),
)


def upgrade() -> None:
    """Apply this step."""
    templates = op.create_table(
        "templates",
        sa.Column("template_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("theme", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("mood", sa.Text(), nullable=False),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.CheckConstraint(f"locale IN {_LOCALES}", name=op.f("ck_templates_locale")),
        sa.PrimaryKeyConstraint("template_id", name=op.f("pk_templates")),
        schema="composer",
    )
    op.create_table(
        "banners",
        sa.Column("banner_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("image_url", sa.Text(), nullable=False),
        sa.Column("link_url", sa.Text(), nullable=False),
        sa.Column("sort_order", sa.Integer(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"locale IN {_LOCALES}", name=op.f("ck_banners_locale")),
        sa.PrimaryKeyConstraint("banner_id", name=op.f("pk_banners")),
        schema="composer",
    )
    rows = [
        {
            # The same everywhere, so that an administrator's change of one is a change of that one.
            "template_id": f"00000000-0000-7000-8000-{number:012d}",
            "locale": locale,
            "title": title,
            "theme": theme,
            "style": style,
            "mood": mood,
            "sort_order": 100 * (number % 6 + 1),
        }
        for number, (locale, title, theme, style, mood) in enumerate(_TEMPLATES)
    ]
    op.bulk_insert(templates, rows)


def downgrade() -> None:
    """Undo this step."""
    op.drop_table("banners", schema="composer")
    op.drop_table("templates", schema="composer")
