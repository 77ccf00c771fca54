"""Families of models in small: their settings at two layers, their special tokens at fixed ids."""

from collections.abc import Mapping
from typing import Any

PAD, BOS, EOS, IMAGE, VOCABULARY, WIDTH = 0, 1, 2, 5, 64, 32
IDS = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS}
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    **IDS,
}
VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
    "projection_dim": WIDTH,
}
GRID = {
    "depth": 2,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_heads": 2,
    "patch_size": 8,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": WIDTH,
}
TURNING = {**TEXT, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}
MARKS = {"image_token_id": IMAGE, "video_token_id": 60, "vision_start_token_id": 61, "vision_end_token_id": 62}
SETTINGS: Mapping[str, dict[str, Any]] = {
    "aya_vision": {
        "text_config": {**TEXT, "model_type": "cohere2", "sliding_window": 64},
        "vision_config": {**VISION, "model_type": "siglip_vision_model", "patch_size": 8},
        "image_token_index": IMAGE,
    },
    "cohere2_vision": {
        "text_config": {**TEXT, "model_type": "cohere2", "sliding_window": 64},
        "vision_config": {**VISION, "model_type": "siglip_vision_model", "patch_size": 8},
        "image_token_id": IMAGE,
        "alignment_intermediate_size": 64,
    },
    "gemma3": {
        "text_config": {**TEXT, "sliding_window": 64},
        "vision_config": {**VISION, "patch_size": 8},
        "mm_tokens_per_image": 4,
        "image_token_index": IMAGE,
        "boi_token_index": 6,
        "eoi_token_index": 7,
    },
    "glm46v": {
        "text_config": {**TURNING, "model_type": "glm4v_text"},
        "vision_config": {**GRID, "model_type": "glm4v_vision", "image_size": 32},
        **{"image_token_id": IMAGE, "video_token_id": 60, "image_start_token_id": 61, "image_end_token_id": 62},
        **{"video_start_token_id": 63, "video_end_token_id": 59},
    },
    "glm4v": {"text_config": TURNING, "vision_config": {**GRID, "image_size": 32}, **MARKS},
    "got_ocr2": {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": {
            **{"hidden_size": WIDTH, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
            **{"image_size": 64, "patch_size": 4, "mlp_dim": 48, "window_size": 4, "global_attn_indexes": [1]},
        },
        "image_token_index": IMAGE,
    },
    "idefics2": {
        "text_config": {**TEXT, "model_type": "mistral"},
        "vision_config": {**VISION, "patch_size": 8},
        "perceiver_config": {
            **{"resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 16},
            **{"num_key_value_heads": 1, "hidden_size": WIDTH},
        },
        "image_token_id": IMAGE,
    },
    "idefics3": {
        "text_config": {**TEXT, "model_type": "llama"},
        "vision_config": {**VISION, "patch_size": 8},
        "image_token_id": IMAGE,
        "scale_factor": 2,
    },
    "internvl": {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": {**VISION, "image_size": [32, 32], "patch_size": [8, 8]},
        "image_token_id": IMAGE,
        "downsample_ratio": 0.5,
    },
    "lfm2_vl": {
        "text_config": {
            **{**TEXT, "model_type": "lfm2", "layer_types": ["conv", "full_attention"]},
            **{"block_ff_dim": 48, "conv_L_cache": 3},
        },
        "vision_config": {**VISION, "model_type": "siglip2_vision_model", "patch_size": 8, "num_patches": 16},
        "image_token_id": IMAGE,
        "projector_hidden_size": 48,
    },
    "lighton_ocr": {
        "text_config": {**TEXT, "model_type": "qwen3"},
        "vision_config": {**VISION, "model_type": "pixtral", "patch_size": 8},
        "image_token_id": IMAGE,
        "spatial_merge_size": 2,
    },
    "llava_onevision": {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": {**VISION, "model_type": "siglip_vision_model"},
        "image_token_index": IMAGE,
        "image_grid_pinpoints": [[32, 32]],
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
    },
    "mistral3": {
        "text_config": {**TEXT, "model_type": "mistral"},
        "vision_config": {**VISION, "model_type": "pixtral", "patch_size": 8},
        "image_token_index": IMAGE,
        "spatial_merge_size": 2,
        "vision_feature_layer": -1,
    },
    "ovis2": {
        "text_config": {**TEXT, "model_type": "qwen2"},
        "vision_config": {**VISION, "patch_size": 8, "hidden_stride": 2, "vocab_size": 40},
        **{"image_token_id": IMAGE, "visual_indicator_token_ids": [50, 51, 52, 53, 54]},
        **{"vocab_size": VOCABULARY, "hidden_size": WIDTH},
    },
    "paligemma": {
        "text_config": {**TEXT, "model_type": "gemma"},
        "vision_config": VISION,
        "image_token_index": IMAGE,
        "projection_dim": WIDTH,
        "hidden_size": WIDTH,
    },
    "qwen2_vl": {
        "text_config": TURNING,
        "vision_config": {**GRID, "embed_dim": WIDTH, "mlp_ratio": 2},
        **MARKS,
    },
    "qwen3_5": {
        "text_config": {
            **{**TEXT, "model_type": "qwen3_5_text", "layer_types": ["linear_attention", "full_attention"]},
            **{"linear_key_head_dim": 8, "linear_value_head_dim": 8},
            **{"linear_num_key_heads": 2, "linear_num_value_heads": 2},
            "rope_parameters": {
                **{"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
                **{"mrope_interleaved": True, "partial_rotary_factor": 0.5},
            },
        },
        "vision_config": {**GRID, "num_position_embeddings": 16},
        **MARKS,
    },
    "qwen3_vl": {
        "text_config": TURNING,
        "vision_config": {**GRID, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
        **MARKS,
    },
    "smolvlm": {
        "text_config": {**TEXT, "model_type": "llama"},
        "vision_config": {**VISION, "patch_size": 8},
        "image_token_id": IMAGE,
        "scale_factor": 2,
    },
    "vipllava": {
        "text_config": {**TEXT, "model_type": "llama"},
        "vision_config": {**VISION, "model_type": "clip_vision_model"},
        "image_token_index": IMAGE,
        "vision_feature_layers": [-1, -2],
    },
}
