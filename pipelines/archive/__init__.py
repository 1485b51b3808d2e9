"""DICOM files that an archive may hold, and their way into it; needs the extra `dicom`.

folder          gathers the images of a run and writes their files when all are there
series          groups images into series and puts slices into order
mr_image        one slice as MR Image Storage
parametric_map  uncertainty as Parametric Map Storage
outlines        what nothing supports as Secondary Capture Image Storage
identity        unique identifiers, computed from what the run was made from
study           patient and study: nobody, or those of a reference file
acquisition     what the ISMRMRD header says about scanner and sequence
geometry        position, orientation, spacing
pixels          stored values, slope, window
origin          how an image was made, by what, and that it is for research
send            C-STORE
"""
